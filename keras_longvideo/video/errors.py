"""The one error that an unreadable video raises."""


class VideoError(ValueError):
    """A file that is no video, or a video that is damaged.

    Missing, empty, truncated and corrupt files raise this, as do files that
    hold no picture at all (sound, text), so that a loop over many files can
    skip the bad ones with a single `except`.

    Not all damage can be seen. MPEG transport and program streams (`.ts`,
    `.mpg`) do not say how long they are, so one that was cut off is a shorter
    video. Decoders of VP8, VP9 and GIF mend what is damaged within a frame
    without saying so; those of H.264 and MPEG video mostly say so.

    Attributes:
        path: String, the file that was asked for.
        reason: String, what is wrong with it.

    Example:

    ```python
    from keras_longvideo.video import VideoError
    from keras_longvideo.video import probe

    try:
        probe("no_such_video.mp4")
    except VideoError as error:
        print(error.reason)  # the file does not exist
    ```
    """

    def __init__(self, path, reason):
        super().__init__(f"Cannot read video {path}: {reason}")
        self.path = str(path)
        self.reason = reason

    def __reduce__(self):
        # The default would call `VideoError(message)` when a worker process
        # hands the error back.
        return type(self), (self.path, self.reason)
