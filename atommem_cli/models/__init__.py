"""Language models and encoders: loading, chat templates, batches, sampling, HTTP, a cache of embeddings."""
