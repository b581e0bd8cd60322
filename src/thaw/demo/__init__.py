"""The page on which a reader tries three models in the browser: their networks as ONNX, and all that stands around."""
