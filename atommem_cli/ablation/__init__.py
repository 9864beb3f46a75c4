"""What each component is worth: variants of a recipe, played or trained anew, compared and pooled."""
