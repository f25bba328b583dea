"""The semantic visual tokenizer: frozen encoder, quantizer, feature decoder (ILLUME section 3.1)."""
