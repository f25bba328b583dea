"""How near a set of images is to another: FID, KID and IS on Inception features, MJHQ-30K, and rFID (docs/use/fidelity.md)."""
