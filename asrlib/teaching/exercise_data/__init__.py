"""What assignments work on: recordings, texts, trainings and random cases (assignments 06 to 13)."""
