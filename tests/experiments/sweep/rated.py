"""A stage with a rate inside an argument, as the language model's."""

from tests.tiny import TinyModule


class RatedModule(TinyModule):
    """A noisy regression, of whose rates the first is used."""

    def __init__(self, learning_rates: dict[str, float], seconds: float = 0.0):
        super().__init__(lr=learning_rates["layer"], seconds=seconds)
        self.learning_rates = learning_rates
