"""What contrib/ has, tried with the programs that it is for."""
