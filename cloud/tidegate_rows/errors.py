"""What can be wrong with a message."""


class NotTidegate(ValueError):
    """Bytes that are no message of a known format and version, or damaged."""


class LacksHeading(LookupError):
    """A columnar message whose heading is not at hand: `.heading` is its name, `.first` and `.next` the positions of
    the journal that the message answers for."""

    def __init__(self, heading, first, next):
        super().__init__(f"positions {first} to {next} need the heading {heading}")
        self.heading, self.first, self.next = heading, first, next
