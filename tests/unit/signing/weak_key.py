"""An RSA key of 768 bits, which cryptography loads but no longer makes."""

import base64

RSA_768 = base64.b64decode(
    "MIIB4wIBADANBgkqhkiG9w0BAQEFAASCAc0wggHJAgEAAmEAqbD3feyTpiCBiHjHXb6xk0TI0aoEd8g5eR58t3AZCEwxOm+CwjUpVN1Cw1AuYZ8E6OQ3"
    "q9siqKDcuOu2yEemhKnBntGRbhlUBnCtjvd/8lV+T/kqIN285FZX2Hoo182/AgMBAAECYCHzPhD7nC7IoiHjyD+BP5XvVR5dnbc5YAZTizBIRTnbxJ2k"
    "YczpRfOssQbSq/TsE4PQL3s2iSK+ZuUBhccviJ4w24SdzRqqlUU2mKUljGIIiA0/H2PuRrVdCFYGvzSyAQIxAN6XV5v7ZsYTDeV9fB7unC6p3n/RF4/U"
    "JYhnvKITc8GhGb6kI2L92ARJ7XwY1hUX3wIxAMMpCvLcXnTqZfQ5Ebmk9DNzv7bzonggUkOzE67q4+aSxUtfto4gCapmvWVNEn+GIQIwZI0PWXoeuhl/"
    "bIzcFgkJ6pZ32Vt1/lYCQnVCJCEPaIfC3ni9N4meHIncyvNZOhwXAjBXHtNMZyOjfZ/VzkQjY4fAEEPdIBW/Gm6e2ipHQ4RJQevhIfEUsSifcQ3LUwSW"
    "+QECMCm+GKFhuFEVqW8sw4aXxQUfnanIHy+e6Bk/CBsoJIfvsqLdipJleB0nao+ihBaL8A=="
)
