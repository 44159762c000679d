"""The quantization laboratory: what fewer bits do to the weights, the predictions and the texts of the loaded model."""
