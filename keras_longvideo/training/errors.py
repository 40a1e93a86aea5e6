"""What stops a run."""


class NonFiniteError(FloatingPointError):
    """A loss or gradient that is no number, or infinite.

    Attributes:
        step: int. The step after which training went wrong, from 1.
        checkpoint: path of the last good checkpoint, or None.
    """

    def __init__(self, message, step, checkpoint):
        super().__init__(message)
        self.step = step
        self.checkpoint = checkpoint
