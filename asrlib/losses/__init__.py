"""CTC and transducer losses, their alignments and posteriors."""
