from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("openline", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="outboxmessage",
            name="conflate_key",
            field=models.CharField(blank=True, max_length=128, null=True),
        ),
    ]
