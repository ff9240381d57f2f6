"""Old Faithful: two regimes of eruption, or three?

Question
    The geyser Old Faithful erupts for two minutes or for four, and waits accordingly. A look at
    the 272 pairs of eruption and waiting time shows two clouds. Yet mclust, the best known
    program for Gaussian mixtures, chooses three clusters that share one covariance. Which is it?

Model
    `gaussian_mixture` with K = 1 to 4 clusters and all four covariances: spherical (mclust's
    VII), diagonal (VVI), tied (EEE) and full (VVV).

    By EM with flat priors, which is maximum likelihood, for BIC and ICL. In mclust's sign,
    BIC = 2 log L - df log N, larger is better; ICL adds 2 Σ log(the largest responsibility), a
    toll on rows that could be in either of two clusters, and so asks for clusters where BIC asks
    for components of a density. By NUTS with the default priors for the contenders, whose
    predictive densities are compared by approximate leave-one-out cross-validation (LOO).

    A component is not a cluster: two components may share one bump of the density. So for every
    posterior draw the modes of the density are counted, by climbing from each component's centre
    until nothing moves. This number knows no labels and has a posterior.

What would count as an answer
    BIC and LOO tell how many components describe the density best, and by how much (differences
    in LOO with their standard errors). ICL and the number of modes tell how many separate
    regimes there are. If these disagree, that is the answer.

    Log-likelihoods must be at least those published for mclust: EM's result is a local optimum
    in any program, so that from many starts one may come out higher, but not lower.

References
    - Azzalini, A. and Bowman, A. W. (1990). A look at some data on the Old Faithful geyser.
      Applied Statistics 39, 357-365.
    - Fraley, C. and Raftery, A. E. (2002). Model-based clustering, discriminant analysis, and
      density estimation. Journal of the American Statistical Association 97, 611-631.
    - Scrucca, L., Fop, M., Murphy, T. B. and Raftery, A. E. (2016). mclust 5: clustering,
      classification and density estimation using Gaussian finite mixture models. The R Journal 8,
      289-317 (log-likelihood, BIC and ICL of EEE with three components).
    - Biernacki, C., Celeux, G. and Govaert, G. (2000). Assessing a mixture model for clustering
      with the integrated completed likelihood. IEEE Transactions on Pattern Analysis and Machine
      Intelligence 22, 719-725.
    - Carreira-Perpiñán, M. A. (2000). Mode-finding for mixtures of Gaussian distributions. IEEE
      Transactions on Pattern Analysis and Machine Intelligence 22, 1318-1323.
    - Vehtari, A., Gelman, A. and Gabry, J. (2017). Practical Bayesian model evaluation using
      leave-one-out cross-validation and WAIC. Statistics and Computing 27, 1413-1432.
"""
