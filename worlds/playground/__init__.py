"""The embedded world: scenes of coloured shapes, their captions and questions, and a judge that reads them back."""
