"""The solvers that come with diffmusic. They are plugins like any other."""
