"""Export of recognizers to ONNX and TFLite files, and a runner that transcribes with such files."""
