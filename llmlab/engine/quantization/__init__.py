"""What number formats and quantization do to a model: bytes against damage.

Three questions. What a scheme does to the weights, matrix by matrix (`damage`): their stored bytes, the noise that
rounding adds, the levels that are left. What it does to the model (`measuring`): next-token distributions over a
text, perplexity, speed, and the texts it writes. And which part of the model pays for it (`sensitivity`), so that the
most sensitive matrices can be kept in 16 bits (`mixed`). The model in use is read, never changed.
"""
