"""What `check` does, once its environment is there: tests of the reference reader, of the frozen repository and of the snap binary."""
