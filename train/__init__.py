"""From CREMA-D to `models/emotion.onnx`. Imports monitor, never the other way round."""
