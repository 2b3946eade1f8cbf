"""CTC and transducer losses, with their alignments and posteriors."""
