"""One module for each command of `livebach`, and the flags that commands share. No other package imports a command."""
