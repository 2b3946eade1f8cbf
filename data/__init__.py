"""The clips and models that come with the kit: ``asrlib.assets`` where asrlib is installed.

``asrlib.files.assets`` returns this folder, in a checkout that is not installed too.
"""
