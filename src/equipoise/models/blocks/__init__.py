"""Parts of architectures, each described with the equation or figure of the paper that it comes from."""
