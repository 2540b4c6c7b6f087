//! L4: what a push reads: files and folders, standard input, commands.
