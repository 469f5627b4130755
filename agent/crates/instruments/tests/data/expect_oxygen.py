"""Oxygen of water in balance with air, by the thermodynamics of TEOS-10: what `src/derive/oxygen.rs` must come to.

usage: expect_oxygen.py > expect_oxygen.csv

Made with gsw 3.6.23. `gsw.O2sol_SP_pt` has the coefficients of Garcia and Gordon (1992) for umol/kg, ours are theirs for
mL/L: another fit to the same measurements (Benson and Krause, 1984). The density of the water makes litres of kilograms.
"""

import gsw

LONGITUDE, LATITUDE = -25.0, 40.0
MG_PER_UMOL = 31.9988 / 1000

print("temperature,salinity,mg_per_l,umol_per_l")
for temperature in (0, 5, 10, 15, 20, 25, 30, 35, 40):
    for salinity in (0, 5, 10, 20, 30, 35, 40):
        absolute = gsw.SA_from_SP(salinity, 0, LONGITUDE, LATITUDE)
        kilograms_per_l = gsw.rho_t_exact(absolute, temperature, 0) / 1000
        umol = gsw.O2sol_SP_pt(salinity, temperature) * kilograms_per_l
        print(f"{temperature},{salinity},{umol * MG_PER_UMOL:.4f},{umol:.3f}")
