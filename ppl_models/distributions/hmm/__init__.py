"""Hidden Markov chains as one distribution: forward-backward, Viterbi, backward sampling."""
