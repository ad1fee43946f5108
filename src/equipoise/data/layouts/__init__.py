"""How datasets are organised: where their files lie, and which samples are in which split."""
