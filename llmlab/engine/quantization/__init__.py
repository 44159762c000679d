"""What number formats and quantization do to a model: bytes against damage.

Two questions. What a scheme does to the weights, matrix by matrix (`damage`): their stored bytes, the noise that
rounding adds, the levels that are left. And what it does to the model (`measuring`): next-token distributions over a
text, perplexity, speed, and the texts it writes. The model in use is read, never changed.
"""
