"""The formats, one room each: structures as declarations, and the logic cut by job."""
