"""Who assesses images: the playground's exact judge, a multimodal model over HTTP, the model itself, several together."""
