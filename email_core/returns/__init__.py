"""What receivers send back: bounces and complaints, read and written down."""
