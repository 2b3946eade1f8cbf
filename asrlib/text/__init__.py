"""From transcripts to labels and back: tokenizers, and language models over labels."""
