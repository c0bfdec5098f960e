"""The one decision: may this identity use this product for this purpose, and what must be done to the data first."""
