"""Presses the buttons of the ContrastCRL panel, inside Slicer or on the project's stand-in for it."""

import time
import unittest

import slicer


class ContrastCRLPanelTest(unittest.TestCase):
    def setUp(self):
        from MRINRLib import install

        slicer.mrmlScene.Clear()
        slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self.panel = slicer.util.getModuleWidget("ContrastCRL")
        self.panel.enter()
        if not install.hasTorch() or not self.panel.logic.models.shipped:
            self.skipTest("PyTorch or the model is missing")

    def tearDown(self):
        self.panel.exit()

    def waitFor(self, condition, seconds=120):
        end = time.time() + seconds
        while not condition():
            self.assertLess(time.time(), end, "waited too long")
            slicer.app.processEvents()
            time.sleep(0.02)

    def fill(self):
        import ContrastCRL

        head = ContrastCRL.ContrastCRLTest().averageHead()
        self.panel.ui.fillButton.click()
        self.assertEqual(self.panel.ui.sourcesTable.rowCount, 1)
        return head

    def test_SlidersChangeWhatTheViewsShow(self):
        self.fill()
        self.panel.ui.liveButton.click()
        self.waitFor(lambda: "TR" in self.panel.ui.liveLabel.text)
        self.panel.ui.TRSlider.value = 900
        self.panel.ui.TESlider.value = 700
        wanted = f"TR {self.panel.ui.TRBox.value:g}, TE {self.panel.ui.TEBox.value:g}"
        self.waitFor(lambda: self.panel.ui.liveLabel.text.startswith(wanted))
        self.panel.ui.liveButton.click()
        self.assertFalse(self.panel.ui.liveLabel.visible)

    def test_MakeVolume(self):
        head = self.fill()
        self.assertTrue(self.panel.ui.applyButton.enabled, self.panel.ui.applyButton.toolTip)
        self.panel.ui.applyButton.click()
        self.waitFor(lambda: self.panel.ui.applyButton.text == "Make volume")
        result = slicer.util.getNode("*(synthetic)")
        self.assertEqual(result.GetImageData().GetDimensions(), head.GetImageData().GetDimensions())
        self.assertIn("SYNTHETIC", self.panel.ui.reasonLabel.text)

    def test_TheButtonSaysWhyItCannotWork(self):
        self.assertFalse(self.panel.ui.applyButton.enabled)
        self.assertIn("Fill from study", self.panel.ui.applyButton.toolTip)
