"""Columns of numbers packed losslessly: whole numbers by their differences, decimal fractions as whole numbers."""
