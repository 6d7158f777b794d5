"""Diffusion: what is added to images (schedules), what a network says of it
(predictions, weightings), and how samples are drawn from that (samplers).

Every level of noise is x_t = alpha_t x_0 + sigma_t eps. alpha_t is the square root of
alpha_bar_t, sigma_t that of 1 - alpha_bar_t (Ho et al., 2020, eq. 4). Time steps are
numbered from 0, where there is the least noise; the paper counts from 1.
"""
