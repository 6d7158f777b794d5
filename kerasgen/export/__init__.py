"""Export: a trained model becomes files that other runtimes run, or nothing at all."""
