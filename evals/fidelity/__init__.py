"""FID, KID and IS on Inception features: drawings of prompts, MJHQ-30K, and reconstructions (rFID)."""
