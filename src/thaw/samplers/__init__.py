"""One module a sampler, found by its name: the function is called as its module.

A sampler is a free function (denoise, latent, steps, *, degradation, noise, callback, half_range, its
options) -> Tensor. It
walks `steps`, any decreasing sequence of steps that ends with 0, from latent.z at steps[0]. Its annotation of
`degradation` says what it works on: any Degradation, a Mixture, or a NormalMixture. `callback(t, z, clean)` sees z_t
and the estimate of x made from it, before each update.
"""
