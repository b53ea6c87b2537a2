"""The app, for its outbox."""

from django.apps import AppConfig


class OpenlineConfig(AppConfig):
    """`INSTALLED_APPS = [..., "openline.django"]`."""

    name = "openline.django"
    label = "openline"
    verbose_name = "Openline"
    default_auto_field = "django.db.models.BigAutoField"
