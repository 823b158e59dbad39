"""What every lab needs and none computes: session, lock, ledger, words, pictures, widgets."""
