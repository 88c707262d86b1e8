"""Every figure of the paper: what is trained for it, how it is drawn, what the paper found.

Hacohen & Weinshall, 'All Neural Networks Are Created Equal' (2019).
"""
