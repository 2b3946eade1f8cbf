"""What WAV, FLAC, Ogg and MP3 files hold, found by walking through their blocks, pages and frames."""
