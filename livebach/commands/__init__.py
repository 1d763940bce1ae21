"""One module for each command of `livebach`, and the flags that they share. Nobody imports a command."""
