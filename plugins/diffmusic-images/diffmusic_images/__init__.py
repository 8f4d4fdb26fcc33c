"""Images for diffmusic.

An image is a signal of three channels that is read row by row, (batch, 3, rows * columns), from -1 (black) to 1. Where
a contract of diffmusic speaks of a sample rate it is the number of pixels in a row, and its second is a row.
"""
