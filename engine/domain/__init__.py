"""The rules of trading as pure functions: values in, values out, the time passed in."""
