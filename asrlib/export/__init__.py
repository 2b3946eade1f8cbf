"""Recognizers as ONNX and TFLite files, and the runner that transcribes with them."""
