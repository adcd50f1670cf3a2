"""The face adapter that shows people by their embeddings, learned beside a frozen base."""
